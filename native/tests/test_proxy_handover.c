/* test_proxy_handover.c: many threads push into one inbox; its owner sleeps in poll and loses nothing. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "handover.h"
#include "test.h"

enum { THREADS = 4, EACH = 20000 };

static proxy_inbox inbox;

static void *
push(void *argument)
{
    int number = *(int *)argument;
    char text[16];
    proxy_parcel label = {.kind = PROXY_PARCEL_MESSAGE, .listener = number, .connection = 7};
    for (int i = 0; i < EACH;) {
        snprintf(text, sizeof text, "%d %d", number, i);
        i += proxy_inbox_push(&inbox, &label, text, strlen(text) + 1) == 0; /* full: again */
    }
    return NULL;
}

static void
test_all_come_in_order(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0}, taken = 0;
    CHECK_INT(proxy_inbox_init(&inbox), 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, push, &numbers[i]);
    }
    while (taken < THREADS * EACH) {
        struct pollfd wait = {.fd = inbox.fd, .events = POLLIN};
        if (!CHECK_INT(poll(&wait, 1, 10000), 1))
            break;
        proxy_parcel *parcel = proxy_inbox_take(&inbox);
        while (parcel != NULL) {
            proxy_parcel *following = parcel->next;
            int number = parcel->listener;
            CHECK_INT(atoi(parcel->data), number);
            CHECK_INT(atoi(strchr(parcel->data, ' ')), next[number]++);
            CHECK_INT(parcel->connection, 7);
            free(parcel);
            parcel = following;
            taken++;
        }
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&inbox.count), 0);
    proxy_inbox_fini(&inbox);
}

static void
test_it_is_bounded(void)
{
    proxy_parcel label = {.kind = PROXY_PARCEL_SEND};
    int pushed = 0;
    CHECK_INT(proxy_inbox_init(&inbox), 0);
    while (pushed <= PROXY_INBOX_MAX && proxy_inbox_push(&inbox, &label, "x", 1) == 0)
        pushed++;
    CHECK_INT(pushed, PROXY_INBOX_MAX);
    CHECK_INT(proxy_inbox_push(&inbox, &label, "x", 1), ISO_EOVERLOAD);
    proxy_inbox_fini(&inbox); /* frees them: the sanitizer build looks */
}

int
main(int argc, char **argv)
{
    TEST_MAIN(argc, argv, TEST(test_all_come_in_order), TEST(test_it_is_bounded));
}
