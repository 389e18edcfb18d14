"""Options of single formats: `read.<format>` in a source's YAML. One file per family, one class per format."""
