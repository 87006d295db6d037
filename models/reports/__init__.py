"""The read side: lists, details and statistics for the dashboard and the API, each from few queries, without writes."""
