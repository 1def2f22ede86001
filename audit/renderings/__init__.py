"""The ledger in the forms that other systems read: each entry with its leaf and its inclusion proof."""
