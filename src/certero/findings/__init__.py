"""What an audit says: findings, duplicates, balance, quality, and the cleaned manifest."""
