"""The page that a phone opens."""
