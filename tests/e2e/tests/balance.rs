//! Which target gets a request, as clients and origins see it.
