"""Labels in, spectra out: the LTE synthesiser and the Payne that emulates it."""
