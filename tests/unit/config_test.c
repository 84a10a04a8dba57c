#include "support.h"

#include "arena.h"
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL "task: mlm\nmodel_name_or_path: m\ntrain_file: t.txt\noutput_dir: out\n"

/* Reads a job file of this text and checks the error that follows; words start behind "path:". */
static void read_fails(const char *text, enum sb_err_code code, const char *words)
{
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    char expected[512];
    const char *path = sb_test_write(sb_test_dir(), "job.yaml", text);
    sb_job_init(&job);
    assert_int_equal(sb_job_read(&job, path, &err), -1);
    snprintf(expected, sizeof(expected), "%s:%s", path, words);
    sb_test_err_is(&err, code, expected);
    sb_job_release(&job);
}

static void set_fails(const char *assignment, enum sb_err_code code, const char *words)
{
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    sb_job_init(&job);
    assert_int_equal(sb_job_set(&job, assignment, &err), -1);
    sb_test_err_is(&err, code, words);
    sb_job_release(&job);
}

static void check_fails(const char *text, const char *words)
{
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    char expected[512];
    const char *path = sb_test_write(sb_test_dir(), "job.yaml", text);
    sb_job_init(&job);
    if (sb_job_read(&job, path, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(sb_job_check(&job, &err), -1);
    snprintf(expected, sizeof(expected), "%s:%s", path, words);
    sb_test_err_is(&err, SB_ERR_CONFIG, expected);
    sb_job_release(&job);
}

static void read_well(struct sb_job *job, const char *folder, const char *text)
{
    struct sb_err err = SB_ERR_INIT;
    sb_job_init(job);
    if (sb_job_read(job, sb_test_write(folder, "job.yaml", text), &err) < 0)
        fail_msg("%s", err.text);
}

static void defaults_are_hugging_faces(void **state)
{
    (void)state;
    struct sb_job job;
    sb_job_init(&job);
    assert_null(job.task);
    assert_int_equal(job.seed, 42);
    assert_int_equal(job.batch_size, 32);
    assert_true(job.num_train_epochs == 3.0);
    assert_true(job.learning_rate == 5e-5);
    assert_true(job.adam_beta1 == 0.9 && job.adam_beta2 == 0.999 && job.adam_epsilon == 1e-8);
    assert_true(job.weight_decay == 0 && job.max_grad_norm == 1);
    assert_true(job.mlm_probability == 0.15);
    assert_true(job.hidden_dropout_prob == -1);
    assert_true(job.shuffle);
    assert_false(job.header);
    assert_int_equal(job.save_steps, 0);
    assert_string_equal(job.lr_scheduler_type, "linear");
    assert_string_equal(job.metrics_address, "127.0.0.1:0");
    assert_int_equal(job.train_file.count, 0);
    assert_false(sb_job_given(&job, "batch_size"));
    sb_job_release(&job);
}

static void values_of_every_type_are_read(void **state)
{
    (void)state;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    read_well(&job, sb_test_dir(),
              "# a job\ntask: classify\nseed: 18446744073709551615\nbatch_size: 16 # small\n"
              "learning_rate: 2e-5\nshuffle: false\ntext_column: 'a: b'\nlabel_column: 0\n"
              "labels: [neg, \"pos\"]\nfreeze: layers:4\ntext_pair_column: null\n"
              "train_file:\n  - a.tsv\n  - /b.tsv\n  - '-'\nmodel_name_or_path: m\n"
              "output_dir: out\n");
    assert_string_equal(job.task, "classify");
    assert_true(job.seed == UINT64_MAX);
    assert_int_equal(job.batch_size, 16);
    assert_true(job.learning_rate == 2e-5);
    assert_false(job.shuffle);
    assert_string_equal(job.text_column, "a: b");
    assert_string_equal(job.label_column, "0");
    assert_null(job.text_pair_column);
    assert_int_equal(job.labels.count, 2);
    assert_string_equal(job.labels.items[0], "neg");
    assert_string_equal(job.labels.items[1], "pos");
    assert_int_equal(job.freeze.count, 1);
    assert_string_equal(job.freeze.items[0], "layers:4");
    assert_int_equal(job.train_file.count, 3);
    assert_string_equal(job.train_file.items[1], "/b.tsv");
    assert_string_equal(job.train_file.items[2], "-");
    assert_true(sb_job_given(&job, "batch_size"));
    if (sb_job_check(&job, &err) < 0)
        fail_msg("%s", err.text);
    sb_job_release(&job);
}

static void byte_order_mark_and_carriage_returns_are_harmless(void **state)
{
    (void)state;
    struct sb_job job;
    read_well(&job, sb_test_dir(), "\xef\xbb\xbftask: mlm\r\ntext_column: caf\u00e9\r\n");
    assert_string_equal(job.task, "mlm");
    assert_string_equal(job.text_column, "caf\u00e9");
    sb_job_release(&job);
}

static void paths_are_relative_to_the_job_files_folder(void **state)
{
    (void)state;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    read_well(&job, dir, "train_file: data/*.txt\noutput_dir: out\ncache_dir: /cache\n");
    assert_string_equal(job.train_file.items[0], sb_test_path(dir, "data/*.txt"));
    assert_string_equal(job.output_dir, sb_test_path(dir, "out"));
    assert_string_equal(job.cache_dir, "/cache");
    assert_int_equal(sb_job_set(&job, "output_dir=other", &err), 0);
    assert_string_equal(job.output_dir, "other");
    sb_job_release(&job);
}

static void labels_may_be_a_file(void **state)
{
    (void)state;
    struct sb_job job;
    const char *dir = sb_test_dir();
    sb_test_write(dir, "labels.txt", "not so good\r\ngood\n");
    read_well(&job, dir, "labels: labels.txt\n");
    assert_int_equal(job.labels.count, 2);
    assert_string_equal(job.labels.items[0], "not so good");
    assert_string_equal(job.labels.items[1], "good");
    sb_job_release(&job);
    read_fails("labels: nowhere.txt\n", SB_ERR_NO_INPUT, "1:9: labels: ");
}

static void later_sources_win(void **state)
{
    (void)state;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    setenv("SHARDBERT_THREADS", "3", 1);
    setenv("SHARDBERT_SAVE_STEPS", "7", 1);
    setenv("SHARDBERT_LOGGING_STEPS", "", 1);
    read_well(&job, sb_test_dir(), "threads: 2\nlogging_steps: 5\n");
    assert_int_equal(sb_job_environment(&job, &err), 0);
    assert_int_equal(job.threads, 3);
    assert_int_equal(job.logging_steps, 5);
    assert_int_equal(sb_job_set(&job, "save_steps=9", &err), 0);
    assert_int_equal(job.save_steps, 9);
    assert_int_equal(sb_job_set(&job, "train_file=[a, b]", &err), 0);
    assert_int_equal(job.train_file.count, 2);
    setenv("SHARDBERT_THREADS", "many", 1);
    assert_int_equal(sb_job_environment(&job, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "SHARDBERT_THREADS: threads is a whole number, not 'many'");
    unsetenv("SHARDBERT_THREADS");
    setenv("SHARDBERT_SEED", "1", 1);
    assert_int_equal(sb_job_environment(&job, &err), -1);
    sb_test_err_is(&err, SB_ERR_CONFIG, "SHARDBERT_SEED: seed decides the weights");
    unsetenv("SHARDBERT_SEED");
    unsetenv("SHARDBERT_SAVE_STEPS");
    unsetenv("SHARDBERT_LOGGING_STEPS");
    sb_job_release(&job);
}

static void unknown_key_is_refused_with_the_nearest(void **state)
{
    (void)state;
    read_fails("task: mlm\nbatchsize: 3\n", SB_ERR_CONFIG,
               "2:1: unknown key 'batchsize'; did you mean 'batch_size'?");
    read_fails("task: mlm\nLearning-Rate: 3\n", SB_ERR_CONFIG,
               "2:1: unknown key 'Learning-Rate'; did you mean 'learning_rate'?");
    read_fails("lr: 3\n", SB_ERR_CONFIG, "1:1: unknown key 'lr'; did you mean 'learning_rate'?");
    read_fails("xyzzy: 3\n", SB_ERR_CONFIG, "1:1: unknown key 'xyzzy'");
}

static void repeated_key_is_refused(void **state)
{
    (void)state;
    read_fails("seed: 1\ntask: mlm\nseed: 2\n", SB_ERR_CONFIG,
               "3:1: 'seed' is set again; first in line 1");
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    read_fails("batch_size: many\n", SB_ERR_CONFIG,
               "1:13: batch_size is a whole number, not 'many'");
    read_fails("batch_size: 1.5\n", SB_ERR_CONFIG, "1:13: batch_size is a whole number, not '1.5'");
    read_fails("batch_size: \"16\"\n", SB_ERR_CONFIG,
               "1:13: batch_size is a whole number, not '16' in quotes");
    read_fails("batch_size: 0x10\n", SB_ERR_CONFIG, "1:13: ");
    read_fails("learning_rate: fast\n", SB_ERR_CONFIG,
               "1:16: learning_rate is a number, not 'fast'");
    read_fails("learning_rate: .nan\n", SB_ERR_CONFIG, "1:16: ");
    read_fails("learning_rate: inf\n", SB_ERR_CONFIG, "1:16: ");
    read_fails("learning_rate: 1e-5x\n", SB_ERR_CONFIG, "1:16: ");
    read_fails("shuffle: yes\n", SB_ERR_CONFIG, "1:10: shuffle is true or false, not 'yes'");
    read_fails("task: tag\n", SB_ERR_CONFIG,
               "1:7: task is one of mlm, classify, ner, setfit, embed; not 'tag'");
    read_fails("task: \"\"\n", SB_ERR_CONFIG,
               "1:7: task is one of mlm, classify, ner, setfit, embed; not ''");
    read_fails("task: mlm|classify\n", SB_ERR_CONFIG, "1:7: task is one of");
    read_fails("seed: [1, 2]\n", SB_ERR_CONFIG, "1:7: seed takes one value, not a list");
    read_fails("seed:\n", SB_ERR_CONFIG, "1:1: seed has no value");
    read_fails("seed: null\n", SB_ERR_CONFIG, "1:7: seed has no value");
    read_fails("output_dir:\n", SB_ERR_CONFIG, "1:1: output_dir has no value");
    read_fails("train_file: [a, '']\n", SB_ERR_CONFIG, "1:17: train_file has an empty item");
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    read_fails("task: mlm\nbatch_size: 0\n", SB_ERR_CONFIG,
               "2:13: batch_size is 0; it must be from 1 to 65536 samples");
    read_fails("batch_size: -3\n", SB_ERR_CONFIG, "1:13: batch_size is -3; it must be from 1");
    read_fails("batch_size: 4294967297\n", SB_ERR_CONFIG, "1:13: batch_size is 4294967297;");
    read_fails("seed: 18446744073709551616\n", SB_ERR_CONFIG, "1:7: seed is 18446744073709551616;");
    read_fails("mlm_probability: 1.1\n", SB_ERR_CONFIG,
               "1:18: mlm_probability is 1.1; it must be from 0.0001 to 1");
    read_fails("learning_rate: 1e999\n", SB_ERR_CONFIG, "1:16: learning_rate is 1e999;");
    read_fails("learning_rate: -1e-5\n", SB_ERR_CONFIG, "1:16: learning_rate is -1e-5;");
}

static void nesting_and_yaml_extras_are_refused(void **state)
{
    (void)state;
    read_fails("task: mlm\ntrain_file:\n  a: b\n", SB_ERR_CONFIG, "3:3: nested values");
    read_fails("train_file: [a, [b]]\n", SB_ERR_CONFIG, "1:17: nested values");
    read_fails("train_file: [a, {b: c}]\n", SB_ERR_CONFIG, "1:17: nested values");
    read_fails("task: &t mlm\n", SB_ERR_CONFIG, "1:10: anchors");
    read_fails("task: *t\n", SB_ERR_CONFIG, "1:7: aliases");
    read_fails("task: !!str mlm\n", SB_ERR_CONFIG, "1:13: tags");
    read_fails("[a, b]: c\n", SB_ERR_CONFIG, "1:1: a key is a plain name");
    read_fails("task: mlm\n---\ntask: mlm\n", SB_ERR_CONFIG, "2:1: there is a second document");
    read_fails("text_column: \"a\\0b\"\n", SB_ERR_CONFIG, "1:14: a zero byte");
}

static void what_is_no_mapping_is_refused(void **state)
{
    (void)state;
    read_fails("", SB_ERR_CONFIG, "1:1: holds no settings");
    read_fails("# only words\n", SB_ERR_CONFIG, "1:1: holds no settings");
    read_fails("---\n", SB_ERR_CONFIG, "1:1: holds no settings");
    read_fails("just a text\n", SB_ERR_CONFIG, "1:1: not a list of 'key: value' lines");
    read_fails("- a\n- b\n", SB_ERR_CONFIG, "1:1: not a list of 'key: value' lines");
}

static void broken_yaml_names_line_and_column(void **state)
{
    (void)state;
    read_fails("task: mlm\ntrain_file: [a, b\n", SB_ERR_CONFIG, "3:1: not YAML: ");
    read_fails("task: 'mlm\n", SB_ERR_CONFIG, "1:8: not YAML: ");
    read_fails("task: mlm\n  seed: 3\n", SB_ERR_CONFIG, "1:7: not YAML: ");
    read_fails("task: a: b\n", SB_ERR_CONFIG, "1:8: not YAML: ");
    read_fails("\tseed: 3\n", SB_ERR_CONFIG, "1:1: not YAML: ");
    read_fails("task: mlm\nseed\n", SB_ERR_CONFIG, "2:1: not YAML: ");
    read_fails("seed: 3\n# \u00e9\ntext_column: \u00e9\xe9\n", SB_ERR_CONFIG,
               "3:15: not UTF-8 text: byte e9");
    read_fails("text_column: \xed\xa0\x80\n", SB_ERR_CONFIG, "1:14: not UTF-8 text: byte ed");
}

static void missing_job_file_is_missing_input(void **state)
{
    (void)state;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    sb_job_init(&job);
    assert_int_equal(sb_job_read(&job, sb_test_path(sb_test_dir(), "job.yaml"), &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "job.yaml'");
    sb_job_release(&job);
}

static void malformed_assignments_are_wrong_usage(void **state)
{
    (void)state;
    set_fails("batch_size", SB_ERR_USAGE, "--set takes key=value, not 'batch_size'");
    set_fails("=3", SB_ERR_USAGE, "--set takes key=value");
    set_fails("batch_sise=3", SB_ERR_USAGE,
              "--set: unknown key 'batch_sise'; did you mean 'batch_size'?");
    set_fails("batch_size=0", SB_ERR_CONFIG,
              "--set batch_size: batch_size is 0; it must be from 1");
    set_fails("batch_size=", SB_ERR_CONFIG, "--set batch_size: has no value");
    set_fails("batch_size=#x", SB_ERR_CONFIG, "--set batch_size: ");
    set_fails("train_file=[a", SB_ERR_CONFIG, "--set train_file: not YAML");
    set_fails("train_file={a: b}", SB_ERR_CONFIG, "--set train_file: nested values");
    set_fails("text_column=\xff", SB_ERR_CONFIG, "--set text_column: not UTF-8");
    set_fails("seed=3\n4", SB_ERR_CONFIG, "--set seed: ");
}

static void impossible_combinations_are_refused_where_they_stand(void **state)
{
    (void)state;
    check_fails("model_name_or_path: m\n", " task is missing");
    check_fails("task: mlm\n", " no model: set model_name_or_path");
    check_fails("task: mlm\nconfig_name: c\n", " tokenizer_name is missing");
    check_fails("task: mlm\nmodel_name_or_path: m\nconfig_name: c\n", "3:1: config_name is for");
    check_fails("task: mlm\nmodel_name_or_path: m\n", " train_file is missing");
    check_fails("task: mlm\nmodel_name_or_path: m\ntrain_file: t\n", " output_dir is missing");
    check_fails(SMALL "warmup_steps: 3\nwarmup_ratio: 0.1\n", "6:1: warmup_steps and warmup_ratio");
    check_fails(SMALL "slots: 3\n", "5:1: slots is 3; it must be a power of two");
    check_fails(SMALL "num_train_epochs: 0\n", "5:1: max_steps and num_train_epochs are both 0");
    check_fails(SMALL "servers: 2\n", "5:1: servers is 2 but workers is 0");
    check_fails(SMALL "workers: 2\n", "5:1: workers is 2 but servers is 0");
    check_fails(SMALL "eval_steps: 5\n", "5:1: eval_steps without a validation_file");
    check_fails(SMALL "max_seq_length: 2\n", "5:1: max_seq_length is 2");
    check_fails(SMALL "max_seq_length: 512\nmax_tokens_per_pass: 100\n",
                "6:1: max_tokens_per_pass is 100, less than");
    check_fails(SMALL "hidden_dropout_prob: -0.5\n", "5:1: hidden_dropout_prob is -0.5");
    check_fails(SMALL "warmup_steps: 3\nlr_scheduler_type: constant\n", "6:1: lr_scheduler_type");
    check_fails(SMALL "warmup_steps: 30\nmax_steps: 20\n", "5:1: warmup_steps is 30, more than");
    check_fails(SMALL "labels: [a, b]\n",
                "5:1: labels belongs to task classify|ner|setfit; this task is mlm");
    check_fails("task: classify\nwhole_word_mask: true\n",
                "2:1: whole_word_mask belongs to task mlm");
    check_fails(SMALL "label_all_tokens: true\n",
                "5:1: label_all_tokens belongs to task ner; this task is mlm");
    check_fails(SMALL "servers: 1\nworkers: 2\nvalidation_file: '-'\n",
                "7:1: validation_file is '-', but 2 workers");
    check_fails(SMALL "validation_file: '-'\ntest_file: ['-']\n",
                "6:1: test_file is '-', but standard input can be read only once");
    check_fails("task: classify\nmodel_name_or_path: m\ntrain_file: t\noutput_dir: o\n"
                "text_column: 1\nlabel_column: 1\n",
                "6:1: text_column and label_column are both '1'");
    check_fails("task: classify\nmodel_name_or_path: m\ntrain_file: t\noutput_dir: o\n"
                "freeze: body\nunfreeze_steps: 5\n",
                "6:1: unfreeze_steps has nothing to do with freeze: body");
    check_fails(SMALL "learning_rate: 0\n", "5:1: learning_rate is 0: nothing would be learnt");
    check_fails(SMALL "greater_is_better: true\n", "5:1: greater_is_better without metric_for");
    check_fails(SMALL "header: true\n", "5:1: header: true speaks of .csv and .tsv");
    check_fails("task: ner\nmodel_name_or_path: m\ntrain_file: t.conll.gz\noutput_dir: o\n"
                "label_column: 0\n",
                "5:1: label_column names a key of JSON lines");
    check_fails("task: classify\nlabels: [a, b, a]\n", "2:1: labels has 'a' twice");
    check_fails("task: classify\nlabels: [a]\n", "2:1: labels has one name");
    check_fails("task: classify\nmargin: 1\n", "2:1: margin belongs to task setfit|embed");
    check_fails("task: embed\nmargin: -0.5\n", "2:1: margin is -0.5; it must be 0 or more");
    check_fails("task: embed\nloss: batch_hard_triplet\n", "2:1: loss batch_hard_triplet needs");
    check_fails("task: setfit\nmargin: 1\nloss: cosent\n",
                "2:1: margin has no meaning with loss cosent");
    check_fails("task: setfit\nhead: centroid\nhead_C: 2\n",
                "3:1: head_C has no meaning with head centroid");
}

static void losses_go_by_their_class_names_too(void **state)
{
    static const char *const names[][2] = {
        {"CosineSimilarityLoss", "cosine_similarity"},
        {"OnlineContrastiveLoss", "online_contrastive"},
        {"CoSENTLoss", "cosent"},
        {"BatchHardTripletLoss", "batch_hard_triplet"},
        {"MultipleNegativesRankingLoss", "multiple_negatives_ranking"},
        {"triplet", "triplet"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char assignment[64];
        struct sb_job job;
        sb_job_init(&job);
        snprintf(assignment, sizeof(assignment), "loss=%s", names[i][0]);
        assert_int_equal(sb_job_set(&job, assignment, NULL), 0);
        assert_string_equal(job.loss, names[i][1]);
        sb_job_release(&job);
    }
    set_fails("loss=HardLoss", SB_ERR_CONFIG, "loss is one of cosine_similarity, contrastive, ");
    set_fails("task=MlmLoss", SB_ERR_CONFIG, "task is one of");
}

static void missing_inputs_are_named_with_their_line(void **state)
{
    (void)state;
    struct sb_job job;
    struct sb_err err = SB_ERR_INIT;
    const char *dir = sb_test_dir();
    sb_test_write(dir, "m", "");
    sb_test_write(dir, "t.txt", "");
    read_well(&job, dir, SMALL "validation_file: [t.txt, '*.txt', 'v*.txt']\n");
    assert_int_equal(sb_job_check_inputs(&job, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "job.yaml:5:1: validation_file: there is no '");
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "v*.txt'");
    assert_int_equal(sb_job_set(&job, "validation_file=null", &err), 0);
    assert_int_equal(sb_job_check_inputs(&job, &err), 0);
    assert_int_equal(sb_job_set(&job, "model_name_or_path=bert-base-uncased", &err), 0);
    assert_int_equal(sb_job_check_inputs(&job, &err), -1);
    sb_test_err_is(&err, SB_ERR_NO_INPUT, "there is no 'bert-base-uncased'; a model is a folder");
    sb_job_release(&job);
}

static void canonical_text_holds_the_numerics_only(void **state)
{
    (void)state;
    struct sb_job a, b;
    struct sb_err err = SB_ERR_INIT;
    struct sb_bytes ours = SB_BYTES_INIT, theirs = SB_BYTES_INIT;
    char sentence[256];
    read_well(&a, sb_test_dir(), SMALL "learning_rate: 2e-5\nfreeze: [body, 'a\"b c']\n");
    read_well(&b, sb_test_dir(),
              SMALL "learning_rate: 0.00002\nthreads: 7\nsave_steps: 3\n"
                    "freeze: [body, 'a\"b c']\n");
    sb_job_canonical(&a, &ours);
    sb_job_canonical(&b, &theirs);
    assert_string_equal(ours.data, theirs.data);
    assert_false(sb_job_difference(ours.data, theirs.data, sentence, sizeof(sentence)));
    assert_non_null(
        strstr(ours.data, "task=mlm\nseed=42\nlabels=\nfreeze=[\"body\",\"a\\\"b c\"]\n"));
    assert_non_null(strstr(ours.data, "\nlearning_rate=2e-05\n"));
    assert_null(strstr(ours.data, "train_file"));
    assert_null(strstr(ours.data, "threads"));

    assert_int_equal(sb_job_set(&b, "batch_size=16", &err), 0);
    assert_int_equal(sb_job_set(&b, "learning_rate=1e-3", &err), 0);
    sb_job_canonical(&b, &theirs);
    assert_true(sb_job_difference(ours.data, theirs.data, sentence, sizeof(sentence)));
    assert_string_equal(sentence, "batch_size is 32 here, 16 there");
    assert_true(sb_job_difference("labels=\n", "labels=[\"a\"]\n", sentence, sizeof(sentence)));
    assert_string_equal(sentence, "labels is not set here, [\"a\"] there");
    sb_job_release(&a);
    sb_job_release(&b);
    sb_bytes_release(&ours);
    sb_bytes_release(&theirs);
}

static void difference_survives_any_text(void **state)
{
    (void)state;
    char sentence[64];
    char *longer = sb_alloc(5000);
    memset(longer, 'x', 4999);
    longer[4999] = 0;
    const char *texts[] = {"",    "\n",       "\n\n",       "=",          "a",
                           "a=1", "a=1\nb=2", "b=2\na=1\n", "a=\x01\x02", longer};
    enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++)
            assert_int_equal(sb_job_difference(texts[i], texts[j], sentence, sizeof(sentence)),
                             i != j);
    }
    assert_true(sb_job_difference("a=1\n", "b=1\n", sentence, sizeof(sentence)));
    assert_string_equal(sentence, "a is 1 here, unknown there");
    assert_true(sb_job_difference("a=1\n", "a=1\nb=2\n", sentence, sizeof(sentence)));
    assert_string_equal(sentence, "b is unknown here, 2 there");
    free(longer);
}

static void reference_and_help_name_every_key(void **state)
{
    (void)state;
    static const char *const keys[] = {
#define SB_OPT(scope, name, ...) #name,
#include "options.def"
#undef SB_OPT
    };
    struct sb_bytes page = SB_BYTES_INIT, help = SB_BYTES_INIT;
    sb_job_reference(&page);
    sb_job_help(&help);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char words[96];
        snprintf(words, sizeof(words), "| `%s` | ", keys[i]);
        assert_non_null(strstr(page.data, words));
        snprintf(words, sizeof(words), "\n  %s ", keys[i]);
        assert_non_null(strstr(help.data, words));
    }
    assert_non_null(strstr(page.data, "| `batch_size` | 1 to 65536 samples | 32 | job |"));
    sb_bytes_release(&page);
    sb_bytes_release(&help);
}

/* When this fails: build/tests/config_test reference > common/config/REFERENCE.md */
static void reference_page_in_the_tree_is_current(void **state)
{
    (void)state;
    struct sb_bytes page = SB_BYTES_INIT, file = SB_BYTES_INIT;
    struct sb_err err = SB_ERR_INIT;
    sb_job_reference(&page);
    if (sb_file_read(&file, "common/config/REFERENCE.md", &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(file.data, page.data);
    sb_bytes_release(&page);
    sb_bytes_release(&file);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "reference")) {
        struct sb_bytes page = SB_BYTES_INIT;
        sb_job_reference(&page);
        fputs(page.data, stdout);
        sb_bytes_release(&page);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_hugging_faces),
        cmocka_unit_test(values_of_every_type_are_read),
        cmocka_unit_test(byte_order_mark_and_carriage_returns_are_harmless),
        cmocka_unit_test(paths_are_relative_to_the_job_files_folder),
        cmocka_unit_test(labels_may_be_a_file),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(unknown_key_is_refused_with_the_nearest),
        cmocka_unit_test(repeated_key_is_refused),
        cmocka_unit_test(wrong_types_are_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(nesting_and_yaml_extras_are_refused),
        cmocka_unit_test(what_is_no_mapping_is_refused),
        cmocka_unit_test(broken_yaml_names_line_and_column),
        cmocka_unit_test(missing_job_file_is_missing_input),
        cmocka_unit_test(malformed_assignments_are_wrong_usage),
        cmocka_unit_test(impossible_combinations_are_refused_where_they_stand),
        cmocka_unit_test(losses_go_by_their_class_names_too),
        cmocka_unit_test(missing_inputs_are_named_with_their_line),
        cmocka_unit_test(canonical_text_holds_the_numerics_only),
        cmocka_unit_test(difference_survives_any_text),
        cmocka_unit_test(reference_and_help_name_every_key),
        cmocka_unit_test(reference_page_in_the_tree_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
