/* test_proxy_table.c: the transaction table: keys (RFC 3261 17.2.3), ids that are used again, its bounds, branches. */
#include <stdlib.h>

#include "proxy.h"
#include "test.h"

enum { MOST = 1000 };

static isoproxy proxy;
static proxy_worker worker;

static void
open_table(void)
{
    isoproxy_config_init(&proxy.config);
    proxy.config.transactions = MOST;
    proxy.secret[0] = 1234567;
    proxy.secret[1] = 7654321;
    proxy.instance = 0xabcdef01;
    proxy.worker_count = 3;
    proxy.listener_count = 2;
    worker = (proxy_worker){.proxy = &proxy, .number = 2, .now = 1000};
    proxy_wheel_init(&worker.wheel, worker.now);
    proxy.config.log_level = ISO_LOG_ALERT;
    CHECK_INT(proxy_table_open(&worker), 0);
    CHECK_INT(proxy_finished_open(&worker), 0);
}

static void
close_table(void)
{
    proxy_table_close(&worker);
    proxy_finished_close(&worker);
}

static proxy_view *
request(proxy_view *view, const char *method, const char *branch, const char *to_tag)
{
    static char texts[4][2048]; /* views borrow them */
    static int next;
    char *text = texts[next++ % 4];
    iso_msg msg;
    int reply;
    snprintf(text, sizeof texts[0],
             "%s sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060%s%s\r\nFrom: <sip:a@h>;tag=1\r\n"
             "To: <sip:b@h>%s%s\r\nCall-ID: c@h\r\nCSeq: 1 %s\r\n\r\n",
             method, branch[0] ? ";branch=" : "", branch, to_tag[0] ? ";tag=" : "", to_tag, method);
    iso_msg_init(&msg, text, strlen(text));
    iso_address_parse(&msg.source, "192.0.2.1", 9, 5060);
    CHECK(proxy_view_read(view, &msg, &reply) == NULL);
    return view;
}

static void
end(proxy_transaction *transaction)
{
    transaction->state = PROXY_SERVER_TERMINATED;
    proxy_transaction_settle(transaction);
}

static void
test_keys(void)
{
    static const char *const branches[] = {"z9hG4bKone", "old", ""};
    proxy_view view;
    for (size_t i = 0; i < 3; i++) {
        open_table();
        const char *branch = branches[i];
        proxy_transaction *invite = proxy_transaction_new(&worker, request(&view, "INVITE", branch, ""), 0, 0);
        proxy_transaction *options = proxy_transaction_new(&worker, request(&view, "OPTIONS", branch, ""), 0, 0);
        CHECK(proxy_transaction_find(&worker, request(&view, "INVITE", branch, ""), 0) == invite);
        CHECK(proxy_transaction_find(&worker, request(&view, "ACK", branch, "theirs"), 1) == invite);
        CHECK(proxy_transaction_find(&worker, request(&view, "CANCEL", branch, ""), 1) == invite);
        CHECK(proxy_transaction_find(&worker, request(&view, "OPTIONS", branch, ""), 0) == options);
        CHECK(proxy_transaction_find(&worker, request(&view, "BYE", branch, ""), 0) == NULL);
        CHECK(proxy_transaction_find(&worker, request(&view, "INVITE", "z9hG4bKother", ""), 0) == NULL);
        end(invite);
        CHECK(proxy_transaction_find(&worker, request(&view, "INVITE", branch, ""), 0) == NULL);
        CHECK(proxy_transaction_find(&worker, request(&view, "OPTIONS", branch, ""), 0) == options);
        close_table();
    }
}

static void
test_the_bound(void)
{
    proxy_view view;
    char branch[32];
    proxy_transaction *all[MOST];
    open_table();
    for (int i = 0; i < MOST; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%d", i);
        all[i] = proxy_transaction_new(&worker, request(&view, "INVITE", branch, ""), 0, 0);
        CHECK(all[i] != NULL && proxy_transaction_by_id(&worker, all[i]->id) == all[i]);
    }
    CHECK(proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKmore", ""), 0, 0) == NULL);
    CHECK_INT(worker.counters.overload, 1);
    uint32_t id = all[500]->id;
    end(all[500]);
    CHECK(proxy_transaction_by_id(&worker, id) == NULL);
    proxy_transaction *again = proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKmore", ""), 0, 0);
    CHECK(again != NULL && again->id != id); /* a late reply to the old one must not reach the new one */
    CHECK(proxy_transaction_by_id(&worker, id) == NULL);
    CHECK_INT(proxy_table_count(&worker), MOST);
    close_table();
}

/* What transactions keep of messages is bounded, whatever they keep it for, and all of it is counted back. */
static void
test_octets_are_bounded(void)
{
    static char text[200000];
    const size_t each = sizeof text / 2;
    const size_t most = (size_t)MOST * 8192;
    proxy_view view;
    int kept = 0, code = 0;
    open_table();
    proxy_transaction *transaction = proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKone", ""), 0, 0);
    CHECK(transaction != NULL);
    while ((code = proxy_keep(&worker, &transaction->reply, (iso_str){text, each})) == 0 && kept++ < 1000)
        continue; /* in place of the one before: that one counts no more */
    CHECK_INT(code, 0);
    iso_str slots[200] = {{NULL, 0}};
    for (kept = 0; kept < 200 && code == 0; kept++)
        code = proxy_keep(&worker, &slots[kept], (iso_str){text, each});
    CHECK_INT(code, ISO_EOVERLOAD);
    CHECK(worker.kept <= most && worker.kept > most - each);
    CHECK_INT(slots[0].n, each);
    CHECK(memcmp(slots[0].p, text, each) == 0);
    CHECK(proxy_keep(&worker, &slots[0], (iso_str){text, sizeof text}) == ISO_EOVERLOAD);
    CHECK_INT(slots[0].n, 0); /* what was said before must not be said again after it */
    CHECK(proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKtwo", ""), 0, 0) == NULL);
    for (int i = 0; i < 200; i++)
        proxy_let_go(&worker, &slots[i]);
    CHECK(proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKtwo", ""), 0, 0) != NULL);
    close_table();
    CHECK_INT(worker.kept, 0);
}

static void
test_held_ones_stay(void)
{
    proxy_view view;
    open_table();
    proxy_transaction *held = proxy_transaction_new(&worker, request(&view, "INVITE", "z9hG4bKheld", ""), 0, 0);
    held->users = 1;
    end(held);
    CHECK_INT(proxy_table_count(&worker), 1);
    CHECK_TEXT(held->request.call_id.p, held->request.call_id.n, "c@h"); /* its own octets */
    held->users = 0;
    proxy_transaction_settle(held);
    CHECK_INT(proxy_table_count(&worker), 0);
    close_table();
}

static void
test_branches(void)
{
    static const proxy_branch_id ids[] = {
        {.stateful = 1, .worker = 3, .slot = 0xfff00001, .branch = 15, .loop = 0x89abcdef},
        {.stateful = 0, .worker = 0, .listener = 1, .connection = 0, .hash = 0x0123456789abcdef},
        {.stateful = 0, .worker = 2, .listener = 0, .connection = 0x2ffff0001, .hash = 1, .loop = 7},
    };
    char text[PROXY_BRANCH_TEXT];
    proxy_branch_id back;
    open_table();
    for (size_t i = 0; i < 3; i++) {
        size_t n = proxy_branch_write(&proxy, &ids[i], text);
        CHECK(n <= sizeof text);
        CHECK(proxy_branch_read(&proxy, (iso_str){text, n}, &back));
        CHECK(back.stateful == ids[i].stateful && back.worker == ids[i].worker && back.slot == ids[i].slot &&
              back.branch == ids[i].branch && back.listener == ids[i].listener &&
              back.connection == ids[i].connection && back.loop == ids[i].loop);
        for (size_t cut = 0; cut < n; cut++)
            CHECK(!proxy_branch_read(&proxy, (iso_str){text, cut}, &back));
        text[10] ^= 1; /* of another proxy */
        CHECK(!proxy_branch_read(&proxy, (iso_str){text, n}, &back));
    }
    size_t n = proxy_branch_write(&proxy, &(proxy_branch_id){.stateful = 1, .worker = 4}, text);
    CHECK(!proxy_branch_read(&proxy, (iso_str){text, n}, &back)); /* there is no such worker */
    close_table();
}

static void
test_finished(void)
{
    proxy_view view;
    open_table();
    worker.out = malloc(PROXY_OUT_MEMORY);
    proxy_transaction *options = proxy_transaction_new(&worker, request(&view, "OPTIONS", "z9hG4bKdone", ""), 0, 0);
    options->target.listener = -1; /* there is no socket here */
    proxy_finished_add(options, PROXY_TEXT("SIP/2.0 200 OK"));
    end(options);
    CHECK_INT(proxy_finished_retransmitted(&worker, request(&view, "OPTIONS", "z9hG4bKdone", "")), 1);
    CHECK_INT(proxy_finished_retransmitted(&worker, request(&view, "INFO", "z9hG4bKdone", "")), 0);
    CHECK_INT(proxy_finished_retransmitted(&worker, request(&view, "OPTIONS", "z9hG4bKother", "")), 0);
    worker.now += 64 * (uint64_t)proxy.config.t1 + 2 * PROXY_TICK_MS; /* timer J */
    proxy_wheel_run(&worker.wheel, worker.now, &worker);
    CHECK_INT(proxy_finished_retransmitted(&worker, request(&view, "OPTIONS", "z9hG4bKdone", "")), 0);
    free(worker.out);
    close_table();
}

/* Above the bound of octets the oldest go; the newest is always there. */
static void
test_finished_are_bounded(void)
{
    static char reply[60000];
    proxy_view view;
    char branch[32];
    int kept = 0;
    open_table();
    worker.out = malloc(PROXY_OUT_MEMORY);
    for (int i = 0; i < 2 * MOST; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%d", i);
        proxy_transaction *options = proxy_transaction_new(&worker, request(&view, "OPTIONS", branch, ""), 0, 0);
        options->target.listener = -1;
        proxy_finished_add(options, (iso_str){reply, sizeof reply});
        end(options);
        CHECK_INT(proxy_finished_retransmitted(&worker, request(&view, "OPTIONS", branch, "")), 1);
    }
    for (int i = 0; i < 2 * MOST; i++) {
        snprintf(branch, sizeof branch, "z9hG4bK%d", i);
        kept += proxy_finished_retransmitted(&worker, request(&view, "OPTIONS", branch, ""));
    }
    CHECK(kept > 500 && kept < 2 * MOST);
    free(worker.out);
    close_table();
}

static void
test_directory(void)
{
    proxy_directory *directory = proxy_directory_new(1000);
    int found = 0;
    for (uint64_t i = 1; i <= 1000; i++)
        proxy_directory_add(directory, i * 0x9e3779b97f4a7c15, (int)(i % 255) + 1);
    for (uint64_t i = 1; i <= 1000; i++)
        found += proxy_directory_find(directory, i * 0x9e3779b97f4a7c15) == (int)(i % 255) + 1;
    CHECK(found > 900); /* a full line forgets */
    for (uint64_t i = 1; i <= 1000; i++)
        proxy_directory_remove(directory, i * 0x9e3779b97f4a7c15, (int)(i % 255) + 1);
    for (uint64_t i = 1; i <= 1000; i++)
        CHECK_INT(proxy_directory_find(directory, i * 0x9e3779b97f4a7c15), 0);
    for (int i = 1; i <= 100; i++) /* all in one line */
        proxy_directory_add(directory, (uint64_t)i << 40 | 0x100, 7);
    CHECK_INT(proxy_directory_find(directory, (uint64_t)100 << 40 | 0x100), 7);
    proxy_directory_free(directory);
    CHECK_INT(proxy_directory_find(NULL, 1), 0); /* one worker: there is none */
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_keys), TEST(test_the_bound), TEST(test_octets_are_bounded),
              TEST(test_held_ones_stay), TEST(test_branches), TEST(test_finished), TEST(test_finished_are_bounded),
              TEST(test_directory));
}
