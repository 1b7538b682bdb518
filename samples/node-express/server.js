"use strict";

const path = require("node:path");
const express = require("express");

const app = express();
const port = Number(process.env.PORT || 3000);

app.use(express.static(path.join(__dirname, "public"), { maxAge: "1h" }));
app.get("/health", (request, response) => response.json({ ok: true, node: process.version }));

const server = app.listen(port, "0.0.0.0", () => console.log(`listening on ${port}`));

// A dyno is stopped with SIGTERM: finish what is being answered, then go.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
