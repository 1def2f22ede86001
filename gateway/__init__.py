"""The hub: intake, quarantine, cleansing, judgement, approval, release and service of recordings."""
