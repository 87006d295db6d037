"""The read side: lists, details and numbers for people, each answered by few queries and none of them a write."""
