// Placeholder until openapi/openapi.json exists: any path.
// eslint-disable-next-line
export type paths = any;
