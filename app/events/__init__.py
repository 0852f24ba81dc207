"""Where events go: how they are written as JSON, and how they reach files, brokers and web servers."""
