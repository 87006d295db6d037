// Compiled by `npm run check`: what an application writes has the types of the API.
import { Client, RejectedError, type AcceptedTrigger } from '../../types/index.js';

const client = new Client({ url: 'https://beckon.example.com', apiKey: 'bk_1', onError: (error) => error.errors[0]?.path });
const key: string = client.trigger({ type: 'visit', contact: { externalId: 'c-1', tags: ['lead'] }, payload: { n: 1 } });
const answer: Promise<AcceptedTrigger> = client.triggerNow({ type: 'visit', idempotencyKey: key }, { timeoutMs: 5 });
void answer.then((accepted) => accepted.executions.map((execution) => execution.executionId.length));
void answer.catch((error: unknown) => error instanceof RejectedError && error.status);

// @ts-expect-error a trigger has a type
client.trigger({ payload: {} });
// @ts-expect-error a contact has no such field
client.trigger({ type: 'visit', contact: { shoeSize: 43 } });
// @ts-expect-error the key of a trigger is text
client.trigger({ type: 'visit', idempotencyKey: 1 });

client.track({ workflowId: 'id', deviceType: 'mobile', actions: [{ name: 'Replace Text', executionTimeMs: 45 }] });
// @ts-expect-error an execution has no such status
client.track({ workflowId: 'id', status: 'fine' });
