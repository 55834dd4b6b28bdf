"""Can two sets of stars be told apart? A classifier answers with a number, t-SNE with a picture."""

from collections.abc import Iterator

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

COMPONENTS = 10  # that the classifier sees
FOLDS = 5
HALVINGS = 4  # draws of which stars are shown as real and which as translated
EMBEDDED_COMPONENTS = 50  # that t-SNE sees: what is left of a spectrum is noise, which makes all distances alike
PERPLEXITY = 30  # the neighbours that t-SNE tries to keep; scikit-learn's own default


def classifier_aucs(first: np.ndarray, second: np.ndarray, seed: int = 0) -> np.ndarray:
    """Areas under the ROC curve (FOLDS,) of a classifier of rows of first (n, F) and second (m, F), cross-validated.

    Logistic regression on at most COMPONENTS standardised principal components, which each fold finds anew from the
    rows that it trains on. 0.5: the sets cannot be told apart; 1: they always can.
    """
    features = np.concatenate([first, second])
    truth = np.repeat([0, 1], [len(first), len(second)])
    trained_on = len(features) * (FOLDS - 1) // FOLDS
    width = min(COMPONENTS, features.shape[1], trained_on)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_score(_classifier(width, seed), features, truth, scoring="roc_auc", cv=folds, error_score="raise")


def _classifier(width: int, seed: int) -> Pipeline:
    return make_pipeline(PCA(width, random_state=seed), StandardScaler(), LogisticRegression())


def quick_auc(first: np.ndarray, second: np.ndarray) -> float:
    """The area under the ROC curve of one such classifier, trained on half of the rows and tried on the others.

    A fifteenth of the time of `separation`, and the scatter of a single fold. Rows of first (N, F) and second (N, F)
    are the same stars or none: none is shown twice.
    """
    (a, b), count = next(halves(len(first))), len(first) // 4
    train, test = (np.concatenate([first[a[part]], second[b[part]]]) for part in (slice(count), slice(count, None)))
    truth = [np.arange(len(rows)) >= size for rows, size in ((train, count), (test, len(a) - count))]
    width = min(COMPONENTS, *train.shape)
    return float(roc_auc_score(truth[1], _classifier(width, 0).fit(train, truth[0]).decision_function(test)))


def halves(stars: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """HALVINGS draws of two disjoint halves of as many stars, as indices.

    A star and its own translation are never both shown: twins on two sides of a fold would mislead the classifier.
    """
    for seed in range(HALVINGS):
        shuffled = np.random.default_rng(seed).permutation(stars)
        yield shuffled[: stars // 2], shuffled[stars // 2 :]


def separation(real: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How well a classifier tells real (N, F) from other (N, F), whose rows are the same stars or none.

    auc: the mean over all folds of all `halves`; spread: the standard deviation of one fold.
    """
    aucs = [classifier_aucs(real[a], other[b], seed) for seed, (a, b) in enumerate(halves(len(real)))]
    return {"auc": float(np.mean(aucs)), "spread": float(np.std(aucs))}


def embed(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """t-SNE of first (n, F) and second (m, F), fitted jointly: (n, 2) and (m, 2). The same data give the same map."""
    features = np.concatenate([first, second])
    width = min(EMBEDDED_COMPONENTS, *features.shape)
    components = PCA(width, random_state=0).fit_transform(features)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(components)
    return points[: len(first)], points[len(first) :]
