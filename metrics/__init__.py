"""Numbers from predictions and references: text scores, intervals and paired tests."""
