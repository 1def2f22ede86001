"""Documents that stand before a regulator: the dossier of a release, and the reports that the law asks for."""
