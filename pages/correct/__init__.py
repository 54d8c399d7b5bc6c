"""Review, Correct and Prove."""
