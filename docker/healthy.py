"""Whether parts of Airflow are healthy, by the API server's word: `healthy.py metadatabase scheduler …`.

The answer's status is 200 whatever is wrong; its body tells. Needs nothing but Python.
"""

import json
import os
import sys
import urllib.request

base = os.environ.get("AIRFLOW_HEALTH_URL", "http://127.0.0.1:8080").rstrip("/")
with urllib.request.urlopen(f"{base}/api/v2/monitor/health", timeout=8) as answer:  # noqa: S310 - our own server
    health = json.load(answer)
sick = [part for part in sys.argv[1:] if (health.get(part) or {}).get("status") != "healthy"]
sys.exit(f"not healthy: {', '.join(sick)}" if sick else 0)
