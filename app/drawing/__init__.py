"""What a result looks like: masks, tags, read-out."""
