"""Rules about ensembles and about models that call others."""
