"""A node without a GPU: takes jobs as the last resort and has a paid provider make them."""
