"""From caption CSVs to what can be claimed: studies (a model with its controls), scores, comparisons, verdicts, tables."""
