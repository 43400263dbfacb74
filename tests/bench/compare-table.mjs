// Reads what tests/bench/compare measured (OUT/raw) and makes its table and its JSON file; see there.
//     node compare-table.mjs OUT SHAPES TYPES COMMIT
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const [out, shapes, types, commit] = process.argv.slice(2);
const files = readdirSync(`${out}/raw`);

const median = (list) => {
    const s = [...list].sort((a, b) => a - b), m = s.length >> 1;
    return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
};
const read = (name, engine, suffix) =>
    files.filter((f) => f.startsWith(`${name},`) && f.endsWith(`,${engine}.${suffix}`)).sort()
        .map((f) => readFileSync(`${out}/raw/${f}`, "utf8"));

// All processes of one engine on one model: the samples of both tests, and the whole processes.
function gather(name, engine) {
    const runs = read(name, engine, "json").map((text) => JSON.parse(text));
    const first = read(name, engine, "first").map((text) => text.trim().split(" ").map(Number));
    const cost = read(name, engine, "cost").map((text) => text.trim().split(" ").map(Number));
    const samples = (prefix) => runs.flatMap((r) => r.results.filter((t) => t.test.startsWith(prefix)).flatMap((t) => t.samples));
    return {
        runs,
        tests: runs[0].results.map((t) => t.test),
        prefill: samples("pp"), decode: samples("tg"),
        first_seconds: first.map((f) => f[0]), peak_bytes: first.map((f) => f[1]),
        others: [...cost, ...first].map((f) => f[2]),
    };
}

const rows = [];
let machine = null, backend = null, tests = null, threads = 0;
const others = { leat: [], llama: [] }, roofs = [];
for (const shape of shapes.split(",")) {
    for (const type of types.split(",")) {
        const name = `${shape},${type}`, a = gather(name, "leat"), b = gather(name, "llama");
        const generated = a.runs.map((r) => r.results.find((t) => t.test.startsWith("tg")));
        const bandwidth = Math.max(...generated.map((g) => g.read_bandwidth_gb_s ?? 0)); // of this model's runs
        machine ??= a.runs[0].machine;
        backend ??= b.runs[0].backend;
        tests ??= a.tests;
        threads = generated[0].threads;
        others.leat.push(...a.others);
        others.llama.push(...b.others);
        roofs.push(bandwidth);
        const engine = (x) => ({
            prefill: median(x.prefill), decode: median(x.decode),
            percent_of_read_bandwidth: bandwidth ? (median(x.decode) * generated[0].bytes_per_token) / bandwidth / 1e7 : null,
            first_token_seconds: median(x.first_seconds), peak_bytes: median(x.peak_bytes),
            samples: { prefill: x.prefill, decode: x.decode, first_token_seconds: x.first_seconds },
        });
        rows.push({
            shape, type, model_size: generated[0].model_size, bytes_per_token: generated[0].bytes_per_token,
            read_bandwidth_gb_s: bandwidth, leat: engine(a), llama: engine(b),
        });
    }
}
for (const r of rows)
    r.ratio = {
        prefill: r.leat.prefill / r.llama.prefill, decode: r.leat.decode / r.llama.decode,
        first_token: r.llama.first_token_seconds / r.leat.first_token_seconds,
    };

const number = (v) => (v >= 1000 ? v.toFixed(0) : v >= 100 ? v.toFixed(1) : v.toFixed(2));
const percent = (v) => (v === null ? "" : ` (${v.toFixed(0)} %)`);
const lines = [
    `${machine.cpu}, ${machine.processors} processors, ${(machine.memory / 2 ** 30).toFixed(1)} GiB of memory, ` +
    `${(machine.largest_cache / 2 ** 20).toFixed(0)} MiB largest cache, ${machine.system}. ${threads} threads. Memory read at ` +
    `${Math.min(...roofs).toFixed(1)} to ${Math.max(...roofs).toFixed(1)} GB/s. Leat ${machine.leat} (${commit}) as ${machine.isa}, ` +
    `llama.cpp v0.5.0 with its ${backend} library. ${new Date().toISOString().slice(0, 10)}.`,
    "",
    `Tokens per second, Leat / llama.cpp, medians of ${rows[0].leat.samples.decode.length} samples from ` +
    `${files.filter((f) => f.startsWith(`${rows[0].shape},${rows[0].type},`) && f.endsWith(",leat.json")).length} processes each; in brackets the part of the read bandwidth.`,
    "",
    `| shape | type | size, MB | ${tests[1]} | ratio | ${tests[0]} | ratio | first token, s | ratio | peak memory, MB |`,
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
];
for (const { shape, type, model_size, leat: a, llama: b, ratio } of rows)
    lines.push(`| ${shape} | ${type} | ${(model_size / 1e6).toFixed(0)} ` +
        `| ${number(a.decode)}${percent(a.percent_of_read_bandwidth)} / ${number(b.decode)}${percent(b.percent_of_read_bandwidth)} | ${ratio.decode.toFixed(2)} ` +
        `| ${number(a.prefill)} / ${number(b.prefill)} | ${ratio.prefill.toFixed(2)} ` +
        `| ${a.first_token_seconds.toFixed(3)} / ${b.first_token_seconds.toFixed(3)} | ${ratio.first_token.toFixed(1)} ` +
        `| ${(a.peak_bytes / 1e6).toFixed(0)} / ${(b.peak_bytes / 1e6).toFixed(0)} |`);
// A tenth of a processor is what this script and the system need by themselves in short runs.
const noise = { leat: median(others.leat), llama: median(others.llama) };
if (Math.max(noise.leat, noise.llama) >= 0.1)
    lines.push("", `**The machine was busy**: other programs used ${noise.leat.toFixed(2)} processors (median) while Leat ran and ` +
        `${noise.llama.toFixed(2)} while llama.cpp ran. Neither the numbers nor the ratios can be trusted: an engine whose threads ` +
        "spin at barriers, as llama.cpp's do, loses far more to a neighbour than one that does not.");
writeFileSync(`${out}/compare.md`, lines.join("\n") + "\n");
writeFileSync(`${out}/compare.json`, JSON.stringify({ machine, threads, commit, backend, tests, busy: others, results: rows }, null, 1) + "\n");
console.log(lines.join("\n"));
