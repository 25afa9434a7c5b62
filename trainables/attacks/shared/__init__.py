"""What the attacks share: how they learn and what they leave behind, and the verdict on all attacks of a trial."""
