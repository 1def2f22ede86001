"""People, vehicles, carriers, certificates, recipients, purposes and zone files."""
