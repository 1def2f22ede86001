"""CAN logs (Vector ASC and BLF): decoded by a DBC, cleansed signal by signal, cut and shifted with a release."""
