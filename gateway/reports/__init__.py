"""Reports that the law asks for, from the ledger and evidence at a checkpoint."""
