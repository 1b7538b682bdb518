"use strict";

const http = require("node:http");
const ms = require("ms");

const started = Date.now();
const server = http.createServer((request, response) => {
  response.end(`up for ${ms(Date.now() - started)}\n`);
});
server.listen(Number(process.env.PORT || 3000), "0.0.0.0", () => console.log("listening"));

process.on("SIGTERM", () => server.close(() => process.exit(0)));
