"""The page in a browser: its tabs, and the routes by which pictures go there and back."""
