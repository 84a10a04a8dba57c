// Runs exported folders by ONNX Runtime and transformers.js and compares them with the answers of
// `shardbert predict`, `embed` and `fill-mask` on the same texts.
//
//   node check_export.mjs ROOT < CHECKS
//
// A check is one line of JSON: {name, kind, folder (below ROOT), texts, answers, tolerance}; texts
// and answers are files, line by line.  Numbers may differ by tolerance times max(1, |number|).
// One verdict a check: `ok NAME`, or `not ok NAME: why`, and the largest difference in a comment.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AutoTokenizer, env, pipeline } from '@huggingface/transformers';
import * as ort from 'onnxruntime-node';

const root = process.argv[2];
env.allowRemoteModels = false;
env.localModelPath = root;

const lines = (path) => readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');

class Comparison {
    constructor(tolerance) {
        this.tolerance = tolerance;
        this.largest = 0;
        this.count = 0;
    }
    numbers(got, wanted, where) {
        if (got.length !== wanted.length)
            throw new Error(`${where}: ${got.length} numbers, expected ${wanted.length}`);
        for (let i = 0; i < wanted.length; i++) {
            const difference = Math.abs(got[i] - wanted[i]) / Math.max(1, Math.abs(wanted[i]));
            if (!(difference <= this.tolerance))
                throw new Error(`${where}, number ${i}: ${got[i]}, expected ${wanted[i]}`);
            this.largest = Math.max(this.largest, difference);
            this.count++;
        }
    }
    texts(got, wanted, where) {
        if (JSON.stringify(got) !== JSON.stringify(wanted))
            throw new Error(`${where}: ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
    }
}

// All texts as one padded batch; those that are too long for the model are left out.
async function encode(folder, texts) {
    const tokenizer = await AutoTokenizer.from_pretrained(folder);
    const rows = [];
    for (const [index, line] of texts.entries()) {
        const { text, text_pair } = line.startsWith('{') ? JSON.parse(line) : { text: line };
        const encoded = await tokenizer(text, { text_pair, return_tensor: false });
        if (encoded.input_ids.length <= tokenizer.model_max_length) rows.push({ index, encoded });
    }
    const length = Math.max(...rows.map((row) => row.encoded.input_ids.length));
    const tensor = (key) => {
        const data = new BigInt64Array(rows.length * length);
        rows.forEach((row, r) =>
            row.encoded[key].forEach((id, i) => { data[r * length + i] = BigInt(id); }));
        return new ort.Tensor('int64', data, [rows.length, length]);
    };
    const feeds = {};
    for (const key of ['input_ids', 'attention_mask', 'token_type_ids']) feeds[key] = tensor(key);
    return { feeds, indexes: rows.map((row) => row.index) };
}

// The rows of one output of the graph against one key of the answers.
async function runGraph(check, output, key, comparison) {
    const session = await ort.InferenceSession.create(join(root, check.folder, 'onnx/model.onnx'));
    const { feeds, indexes } = await encode(check.folder, lines(check.texts));
    const result = (await session.run(feeds))[output];
    const answers = lines(check.answers).map((line) => JSON.parse(line));
    const width = result.dims[1];
    indexes.forEach((index, row) => comparison.numbers(
        result.data.slice(row * width, (row + 1) * width), answers[index][key], `line ${index + 1}`));
}

async function runPipeline(check, task, options, compare) {
    const run = await pipeline(task, check.folder);
    const answers = lines(check.answers).map((line) => JSON.parse(line));
    const results = await run(lines(check.texts), options);
    answers.forEach((answer, i) => compare(results[i], answer, `line ${i + 1}`));
}

// A safetensors file: its tensors by name, as {shape, data}.
function readTensors(path) {
    const file = readFileSync(path);
    const headerEnd = 8 + Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.subarray(8, headerEnd));
    const views = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array };
    return Object.fromEntries(Object.entries(header).map(([name, { dtype, shape, data_offsets }]) => {
        const bytes = Uint8Array.from(file.subarray(headerEnd + data_offsets[0], headerEnd + data_offsets[1]));
        return [name, { shape, data: new views[dtype](bytes.buffer) }];
    }));
}

// The cross-entropy of a row of logits at its label.
function crossEntropy(logits, label) {
    const most = Math.max(...logits);
    return Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most - logits[label];
}

// The sum of the losses of all labels, which PyTorch computed in double: answers is a golden file.
async function checkLoss(check, comparison) {
    const session = await ort.InferenceSession.create(join(root, check.folder, 'onnx/model.onnx'));
    const golden = readTensors(check.answers);
    const feeds = {};
    for (const key of session.inputNames)
        feeds[key] = new ort.Tensor('int64', golden[key].data, golden[key].shape);
    const { logits } = await session.run(feeds);
    const { data } = logits.dims.length === 3 ? golden.labels : golden.next_sentence_label;
    const width = logits.dims.at(-1);
    let sum = 0;
    data.forEach((label, row) => {
        if (label >= 0)
            sum += crossEntropy(logits.data.slice(row * width, (row + 1) * width), Number(label));
    });
    comparison.numbers([sum], golden['out.loss_sum'].data, 'loss');
}

const kinds = {
    loss: checkLoss,
    logits: (check, comparison) => runGraph(check, 'logits', 'logits', comparison),
    sentence: (check, comparison) =>
        runGraph(check, 'sentence_embedding', 'embedding', comparison),
    features: (check, comparison) =>
        runPipeline(check, 'feature-extraction', { pooling: 'mean' }, (got, answer, where) =>
            comparison.numbers(got.data, answer.embedding, where)),
    classes: (check, comparison) =>
        runPipeline(check, 'text-classification', { top_k: null }, (got, answer, where) => {
            const scores = Object.fromEntries(got.map((one) => [one.label, one.score]));
            comparison.texts(got[0].label, answer.label, where);
            comparison.numbers(Object.keys(answer.scores).map((label) => scores[label]),
                Object.values(answer.scores), where);
        }),
    tags: (check, comparison) =>
        runPipeline(check, 'token-classification', {}, (all, answer, where) => {
            const got = all.filter((piece) => !piece.word.startsWith('##')); // the first speaks
            const words = answer.entities;
            comparison.texts(got.map((one) => one.entity), words.map((word) => word.type), where);
            comparison.numbers(got.map((one) => one.score), words.map((word) => word.score), where);
        }),
    'fill-mask': (check, comparison) =>
        runPipeline(check, 'fill-mask', { top_k: 5 }, (got, answer, where) => {
            comparison.texts(got.map((one) => one.token_str),
                answer.masks[0].map((one) => one.token), where);
            comparison.numbers(got.map((one) => one.score),
                answer.masks[0].map((one) => one.score), where);
        }),
};

for (const line of lines(0)) {
    const check = JSON.parse(line);
    const comparison = new Comparison(check.tolerance);
    try {
        await kinds[check.kind](check, comparison);
        if (!comparison.count) throw new Error('nothing was compared');
        console.log(`# ${check.name}: ${comparison.count} numbers, largest difference ` +
            comparison.largest.toExponential(1));
        console.log(`ok ${check.name}`);
    } catch (error) {
        console.log(`not ok ${check.name}: ${error.message.split('\n')[0]}`);
    }
}
