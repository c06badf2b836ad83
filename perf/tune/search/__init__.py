"""Which of many candidates is the best, in few measured seconds."""
