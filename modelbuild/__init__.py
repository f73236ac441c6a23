"""Build step of the third-party models: fetch pinned packages, verify, convert."""
