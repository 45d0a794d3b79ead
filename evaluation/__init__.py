"""From caption CSVs to claims: studies (a model with its controls), scores, comparisons, verdicts, tables."""
