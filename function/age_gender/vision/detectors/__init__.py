"""Face detectors: the protocol (``base``), their list (``registry``), and a module for each."""
