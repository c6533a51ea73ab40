"""Tables and the other services, behind the nouns of the domain."""
