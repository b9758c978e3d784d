"""Clock, streams, configuration, files: what every room stands on."""
