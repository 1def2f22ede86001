"""What reviewers see of treated content before they sign."""
