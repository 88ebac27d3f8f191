// The official SDK of Upstash Kafka, and the requests of the 2023 tutorial, as Node's own fetch sends them.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Before anything else asks for it: the SDK waits up to 15 seconds between its attempts at a request that is refused.
const { setTimeout: real } = globalThis;
globalThis.setTimeout = (work, _, ...rest) => real(work, 0, ...rest);

const require = createRequire(`${process.env.JUDGE_MODULES}/`);
const { Kafka, UpstashError } = require("@upstash/kafka");

const { UPSTASH_KAFKA_REST_URL: url, UPSTASH_KAFKA_REST_USERNAME: username, JUDGE_TOPIC: topic } = process.env;
const { UPSTASH_KAFKA_REST_PASSWORD: password, JUDGE_WIDE: wide, JUDGE_TUTORIAL: tutorial } = process.env;
const kafka = new Kafka({ url, username, password });
const group = `group-${topic}`;

const scenarios = {
  async produces() {
    const producer = kafka.producer();
    const one = await producer.produce(topic, { hello: "é🎈" }, { key: "k", headers: [{ key: "traceId", value: "85a9f12" }], timestamp: 12345 });
    assert.deepEqual(one, { topic, partition: 0, offset: 0, timestamp: 12345 });
    const many = await producer.produceMany([{ topic, value: "a" }, { topic: wide, value: { b: 1 }, partition: 2 }]);
    assert.deepEqual(many.map(({ topic, partition, offset }) => [topic, partition, offset]), [[topic, 0, 1], [wide, 2, 0]]);
  },
  async fetches() {
    const [one, other] = await kafka.consumer().fetch({ topic, partition: 0, offset: 0 }, { parallel: false });
    assert.deepEqual([one.key, JSON.parse(one.value), one.headers], ["k", { hello: "é🎈" }, [{ key: "traceId", value: "85a9f12" }]]);
    assert.deepEqual([other.offset, other.value], [1, "a"]);
    const several = { topic, partition: 0, offset: 1, topicPartitionOffsets: [{ topic: wide, partition: 2, offset: 0 }] };
    assert.deepEqual((await kafka.consumer().fetch(several)).map(({ value }) => value).sort(), ["a", '{"b":1}']);
  },
  async consumes() {
    const consumer = kafka.consumer();
    const asked = { consumerGroupId: group, instanceId: "i", topics: [topic], autoOffsetReset: "earliest", autoCommit: false };
    assert.deepEqual((await consumer.consume(asked)).map(({ offset }) => offset), [0, 1]);
    await consumer.commit({ consumerGroupId: group, instanceId: "i", offset: { topic, partition: 0, offset: 1 } });
    const topicPartitions = [{ topic, partition: 0 }];
    assert.deepEqual(await consumer.committed({ consumerGroupId: group, instanceId: "i", topicPartitions }), [{ topic, partition: 0, offset: 1 }]);
  },
  async administers() {
    const admin = kafka.admin();
    assert.equal((await admin.topics())[wide], 3);
    const found = (await admin.consumers()).find(({ name }) => name === group);
    assert.deepEqual(found.instances, [{ name: "i", topics: [{ topic, partitions: [0] }] }]);
    const topicPartition = { topic, partition: 0 };
    assert.deepEqual(await admin.committedOffsets({ consumerGroupId: group, instanceId: "i", topicPartition }), [{ ...topicPartition, offset: 1 }]);
    assert.deepEqual(await admin.topicPartitionOffsets({ timestamp: "latest", topicPartition }), [{ ...topicPartition, offset: 2 }]);
    const earliest = await admin.topicPartitionOffsets({ timestamp: Math.floor(Date.now() / 1000), topicPartitions: [{ topic: wide, partition: 2 }] });
    assert.deepEqual(earliest, [{ topic: wide, partition: 2, offset: 0 }]);
    await admin.removeConsumerInstance(group, "i");
    await assert.rejects(admin.removeConsumerInstance(group, "i"), UpstashError);
  },
  async errors() {
    const stranger = new Kafka({ url, username: "username", password: "password" });
    await assert.rejects(stranger.admin().topics(), (error) => error instanceof UpstashError && error.status === 401);
    await assert.rejects(kafka.producer().produce("no-such-topic", "x"), (error) => error.status === 404 && /no topic/.test(error.error));
  },
  async tutorial() {
    const config = { cache: "no-store", headers: { Authorization: "Basic " + btoa(`${username}:${password}`) } };
    const save = (event) => fetch(`${url}/produce/${tutorial}/` + JSON.stringify(event), config);
    const task = (text) => ({ type: "create-task", data: { id: "1", text } });
    for (const text of ["Do the dishes!", "é 🎈 & more", "washing/drying", "%41", "number #1"]) await save(task(text));
    const load = { ...config, method: "POST", body: JSON.stringify({ topic: tutorial, partition: 0, offset: 0 }) };
    const messages = await (await fetch(`${url}/fetch/`, load)).json();
    // What was lost and spoilt there is lost and spoilt here.
    assert.deepEqual(messages.slice(0, 3).map(({ value }) => JSON.parse(value)), ["Do the dishes!", "é 🎈 & more", "A"].map(task));
    assert.throws(() => JSON.parse(messages[3].value));
    assert.equal(messages.length, 4);
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  await scenario();
  console.log(name);
}
