"""HTTP. A request passes ``app`` -> ``auth`` -> ``body`` -> ``inputs``; errors become ``problems``.

``server`` configures gunicorn, ``watchdog`` enforces its time limits, and ``openapi`` describes the
routes. Nothing below this package knows HTTP, and nothing imports it but ``main.py``.
"""
