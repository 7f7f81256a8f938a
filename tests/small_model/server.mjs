// A model on this machine's processors behind chat completions: node server.mjs MODEL.gguf PORT.
// Answers follow the JSON Schema of response_format by a grammar, and may be streamed.
import {createServer} from "node:http";
import {getLlama, LlamaChatSession} from "node-llama-cpp";

const [path, port] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never"});
const model = await llama.loadModel({modelPath: path});
let last = Promise.resolve();

async function answer(asked, response) {
  const context = await model.createContext({contextSize: 4096});
  try {
    const schema = asked.response_format?.json_schema?.schema;
    const grammar = schema ? await llama.createGrammarForJsonSchema(schema) : undefined;
    const session = new LlamaChatSession({
      contextSequence: context.getSequence(), systemPrompt: asked.messages[0].content,
    });
    const head = {id: "chat-1", object: "chat.completion", created: 0, model: asked.model};
    const send = (data) => response.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);
    const piece = (delta, finish_reason = null) => send({...head, choices: [{index: 0, delta, finish_reason}]});
    if (asked.stream) response.writeHead(200, {"content-type": "text/event-stream"});
    const text = asked.messages.slice(1).map((each) => each.content).join("\n\n");
    const content = await session.prompt(text, {
      grammar, maxTokens: asked.max_tokens ?? 256, temperature: 0,
      onTextChunk: (part) => asked.stream && piece({content: part}),
    });
    const usage = {prompt_tokens: model.tokenize(text).length, completion_tokens: model.tokenize(content).length};
    if (asked.stream) {
      piece({}, "stop");
      send({...head, choices: [], usage});
      send("[DONE]");
      response.end();
    } else {
      response.writeHead(200, {"content-type": "application/json"});
      const message = {role: "assistant", content};
      response.end(JSON.stringify({...head, choices: [{index: 0, message, finish_reason: "stop"}], usage}));
    }
  } finally {
    await context.dispose();
  }
}

createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    last = last.then(() => answer(JSON.parse(body), response)).catch((error) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500, {"content-type": "application/json"});
      response.end(response.headersSent ? "" : JSON.stringify({error: {message: String(error)}}));
    });
  });
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
