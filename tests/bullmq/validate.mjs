// Validates documents by a JSON Schema with ajv: reads {schema, documents} and prints, for each document, null or what is wrong.
import Ajv from 'ajv';
import { readFileSync } from 'node:fs';

const { schema, documents } = JSON.parse(readFileSync(0, 'utf8'));
// Strict: a keyword that ajv does not know, or that has no effect where it stands, is an error of the schema.
const ajv = new Ajv({ strict: true, strictRequired: true });
const validate = ajv.compile(schema);
const said = documents.map((document) => (validate(document) ? null : ajv.errorsText(validate.errors)));
console.log(JSON.stringify(said));
