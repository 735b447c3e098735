"""Calls for many keys at once, region by region, and the listing of a namespace."""
