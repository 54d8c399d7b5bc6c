"""What can be done: each act with its request and its result. Free of torch."""
