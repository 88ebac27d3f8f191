"""A cold start by hand: one command in a script, with httpx."""

import os

import httpx

url, token = os.environ["UPSTASH_REDIS_REST_URL"], os.environ["UPSTASH_REDIS_REST_TOKEN"]
body = ["EVAL", "return redis.call('XADD', KEYS[1], '*', 'text', ARGV[1])", "1", "log", "Do the dishes!"]
answer = httpx.Client().post(url, json=body, headers={"authorization": f"Bearer {token}"})
assert answer.json()["result"]
