// Asks the official receiver: one request for each line of JSON that comes in, one line of JSON with the answer out.
import { Receiver } from "@upstash/qstash";
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  const { current, next, ...request } = JSON.parse(line);
  const receiver = new Receiver({ currentSigningKey: current, nextSigningKey: next, devMode: false });
  let refusal = null;
  try {
    await receiver.verify(request);
  } catch (error) {
    refusal = String(error?.message ?? error) || "refused";
  }
  process.stdout.write(JSON.stringify({ refusal }) + "\n");
}
