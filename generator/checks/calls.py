"""Whether models that call others (BLS) find them and come to an end."""
