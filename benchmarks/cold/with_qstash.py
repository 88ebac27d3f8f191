"""A cold start with qstash: import, and one message published."""

import os

from qstash import QStash

qstash = QStash(os.environ["QSTASH_TOKEN"], base_url=os.environ["QSTASH_URL"])
assert qstash.message.publish_json(url="http://127.0.0.1/projections", body={"position": 1})
