"""What the report says of each of its numbers and pictures."""

MEANINGS = {
    "x_synth_obs": "synthetic → observed, against the same stars observed [σ²]",
    "x_obs_synth": "observed → synthetic, against the same stars in theory [σ²]",
    "z_shared": "shared latents of the same star in both domains",
    "z_synth": "shared latents of a synthetic spectrum and of its translation",
    "z_obs": "shared latents of an observed spectrum and of its translation",
    "z_split": "split latents of an observed spectrum and of the translation that was given them",
    "reconstruction_synth": "synthetic spectra encoded and decoded [σ²]",
    "reconstruction_obs": "observed spectra encoded and decoded [σ²]; 1 is their noise",
    "cycle_synth": "synthetic spectra translated there and back [σ²]",
    "cycle_obs": "observed spectra translated there and back [σ²]; 1 is their noise",
}
SETS = {
    "synthetic": "observed against synthetic spectra: before",
    "translated": "observed against translated spectra: after",
    "observed": "observed against observed spectra: the control, 0.5 but for chance",
    "shared latents": "shared latents of observed against those of synthetic spectra",
}
CAPTIONS = {
    "history": (
        "The last values are in the legends. Scores should settle above the dotted line, the noiseless truth, and below"
        " the dashed one, a mere shift of the mean; judges that can tell real from translated push their loss to 0."
    ),
    "star_best": (
        "Black is observed, blue theory, vermilion what the networks make of it. What is left should look like noise:"
        " grey bands are ±1 σ, and residuals in σ are drawn linearly within ±3, logarithmically beyond."
    ),
    "star_median": (
        "A typical star. Residuals that follow an element's ticks are lines whose strength is still wrong; blue ones"
        " show what had to be added."
    ),
    "star_worst": (
        "The worst one. Does it fail everywhere (labels, continuum), in the lines of one element (an abundance that few"
        " stars have), or in single pixels (the observation)?"
    ),
    "residuals": (
        "Grey: how many spectra have which residual. A good translation leaves a band about zero, as wide as the noise:"
        " a median (solid) off zero is a bias at that wavelength, a widening (dotted) a line that varies wrongly."
    ),
    "embedding": (
        "Both sets are fitted jointly, and no star is in both. Sets that agree are mixed everywhere; distances between"
        " clumps mean nothing. The picture is no evidence: the classifier's AUC above it is the number."
    ),
    "physics": (
        "Above: does a label act on translated spectra as it acts on observed ones? Where a translation correlates less"
        " than theory (blue), it knows nothing of that label, and what it shows for it is paint. Below: labels fitted"
        " to translated minus those fitted to synthetic spectra, mean and scatter, in units of the stars' own spread."
    ),
    "latents": (
        "Effect: how far a spectrum moves. Difference: of the same star in both domains; a variable on which they"
        " disagree much more than on its neighbours is not shared, whatever the mean of all (z_shared) says. Below:"
        " which labels each variable follows, red with and blue against them, all other labels held fixed. Where the"
        " two maps differ, the domains do not mean the same by a variable."
    ),
    "bins": (
        "Where the translation comes close to the shift (grey), it has learnt nothing about such stars; the ends of"
        " the ranges suffer first. Bins of a few stars are uncertain: their counts are below."
    ),
}
STAR = "Windows of the {} star's spectrum, observed, in theory and translated; below, what is left in σ"
ALTERNATIVES = {
    "history": "Losses and scores of the training against steps, a curve each; their last values are in the legends",
    "star_best": STAR.format("best"),
    "star_median": STAR.format("median"),
    "star_worst": STAR.format("worst"),
    "residuals": "Residuals of all stars against wavelength, before and after translation: median and width",
    "embedding": "Maps of both sets of stars in two dimensions: before translation, after it, and of shared latents",
    "physics": "For each label, correlations of its effect before and after translation, bias and scatter of fits",
    "latents": "Each shared latent's effect, and its difference between the domains; below, which labels it follows",
    "bins": "Scores against each label: no translation, mean shift, translation, truth; below, numbers of stars",
}
ANSWERS = {
    "yes": "Yes, for stars like those it was trained on.",
    "with care": "With care: read first what follows.",
    "no": "No, not for measuring anything.",
}
KINDS = {
    "kept": "Carried over:",
    "rough": "Roughly, blurred by more than half of the stars’ own spread:",
    "lost": "Not, the translation knows less of them than theory does:",
}
