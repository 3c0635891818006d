/*
 * berth/berth.h - share speech, translation and language models between all that need them.
 *
 * What it is: a manager that loads each model once, gives every caller a lease on it, and runs the
 * requests of all callers together, in this process or in a daemon (see berth_open). What it is
 * not: a tensor library or a server (see berthd).
 *
 *     struct berth *b;
 *     struct berth_lease *lease;
 *     struct berth_item *item;
 *     berth_open(NULL, &b, &err);
 *     berth_acquire(b, "whisper/base", NULL, &lease, &err);
 *     berth_run(lease, &request, &item, &err);
 *     puts(item->transcript->text);
 *     berth_item_free(item);
 *     berth_release(lease);
 *     berth_close(b, 30000, &err);
 *
 * Thread rule: every function may be called from any thread at any time, on the same objects too,
 * except that a handle must not be used after the call that gives it up. Calls that may wait say
 * so and take a time-out in milliseconds: 0 = do not wait, negative = no limit.
 * The library never prints, exits or aborts, and starts no thread before berth_open.
 */
#ifndef BERTH_H
#define BERTH_H

#include <berth/error.h>
#include <berth/types.h>
#include <berth/version.h>

#ifdef __cplusplus
extern "C" {
#endif

struct berth;       /* a manager with its devices, models and threads */
struct berth_lease; /* the right to use one model */
struct berth_job;   /* one request under way */

/* A model that could be loaded. Begin with zeros: later versions append fields. */
struct berth_model_spec {
    const char *name;   /* "whisper/base": family/name */
    const char *path;   /* file or directory */
    const char *alias;  /* another name, or NULL */
    const char *engine; /* what runs it; NULL: the engine that is called as the family. "toy" stands
                           in for any family, in tests */
    uint32_t keep_alive_s; /* unloaded when nobody has used it for so long; 0: never for that */
    bool pin;              /* once loaded never evicted for others' sake, and no keep-alive */
    bool preload;          /* loaded by berth_open, which does not wait for it */
    uint16_t replicas; /* the most devices of a kind that have it at the same time when it is busy;
                          1: one; 0: all of them. Only where nobody else wants the room */
    bool disabled;     /* see berth_disable */
};

/* All strings are copied by berth_open. */
struct berth_config {
    uint32_t struct_size;
    const char *file; /* YAML configuration; NULL: BERTH_CONFIG, then the user's and the
                         system's usual places, then none. "" = none */
    const struct berth_model_spec *models; /* [n_models], besides the file's */
    size_t n_models;
    uint64_t cpu_memory_bytes; /* budget of the CPU; 0: the file's, else 80 % of what there is */
    int threads;               /* compute threads; 0: one per core this process may use */
    const char *device; /* "cpu", "cuda" (the first usable GPU), "cuda:N", a GPU's UUID, "auto" (a
                           GPU if one is usable, else the CPU), or several with commas between
                           them: a model goes where there is most room. Models that no named GPU
                           can run use the CPU. NULL: BERTH_DEVICE, else the file's, else "cpu" */
    /* "exact": f32 throughout; "fast": products of 16-bit inputs with f32 sums (GPUs only); NULL:
     * BERTH_PRECISION, else the file's, else exact on a CPU and fast on a GPU */
    const char *precision;
    uint64_t gpu_memory_bytes; /* budget of a GPU; 0: the file's, else 90 % of what is free */
    const char *server;        /* whose models: see below */
};
#define BERTH_CONFIG_INIT                                                                          \
    { .struct_size = sizeof(struct berth_config) }

/* Opens a manager. config may be NULL. Loads nothing.
 *
 * It is one of this process, or a daemon's (berthd), whose models all programs share; the calls,
 * options, results and errors are the same. `server` decides:
 *     "none"            in this process
 *     "unix:PATH", "http://HOST:PORT"    the daemon there, or an error. All else in the config must
 *                       then be unset: it is the daemon's
 *     "auto"            the daemon behind $XDG_RUNTIME_DIR/berth/berthd.sock or
 *                       /run/berth/berthd.sock if one answers within 100 ms; else in this process
 *     NULL              in this process if anything else is set in the config; else what the
 *                       environment's BERTH_SERVER says, one of the above; else "auto"
 * A daemon that wants an API key gets the environment's BERTH_API_KEY.
 *
 * What differs with a daemon: models go by name or alias, never by path (EUNSUPPORTED). Leases are
 * the daemon's and end with this process, however it ends. What the daemon refuses (EOVERLOADED,
 * say) is the job's error, not berth_submit's. Progress comes twice a second. A caller who takes no
 * partial items for half a minute while a thousand wait is cut off. Calls that do not wait for work
 * still wait for the daemon's word, berth_acquire_start and berth_release among them; at most for
 * seconds. When the daemon goes away, leases and what is under way fail with ELOST: acquire again,
 * the manager's handle is good for the next daemon at that address.
 *
 * EINVAL (configuration, with line and column), ENOTFOUND and EUNSUPPORTED (the device, with the
 * reason), ELOST (no daemon answers), EDEVICE, ENOMEM, EIO. A GPU may take seconds. */
int berth_open(const struct berth_config *config, struct berth **out, struct berth_error *err);

/* Refuses newcomers, waits up to timeout_ms for leases and requests to end, then cancels what
 * still runs, unloads everything and frees the manager. Leases and jobs still held afterwards stay
 * valid for release only. Always closes; returns ETIMEDOUT if something had to be cancelled.
 * NULL is allowed. May wait. */
int berth_close(struct berth *b, int64_t timeout_ms, struct berth_error *err);

/*
 * LEASES. A shared lease lets its holder run requests on one model, beside any number of others.
 * An exclusive lease keeps others away from a model, or from all models of a family: until it is
 * released nobody else holds or gets a lease on it, and requests of earlier leases have ended. It
 * loads nothing and runs nothing itself.
 *
 * All wait in one queue a model, first come, first served: an exclusive that waits lets nobody
 * past, and so does a shared one that waits for fewer leases (max_concurrent). A priority above the
 * usual one counts as having come 10 s earlier for each step, so nobody starves and nobody is
 * overtaken by one who comes 10 s later or more, times the difference.
 *
 * An owner who holds one model and would have to wait for another, whose holder waits for the first
 * (or through any number of others), is refused with EDEADLOCK at once: he should release what he
 * holds and ask anew. Only what is certain is refused: owners who wait for several leases at the
 * same time, leases of nobody, and requests that wait for memory are thought to go on by
 * themselves. Time-outs are for those.
 *
 * OWNERS. Leases of one owner never wait for each other: a shared lease inside one's own lease is
 * granted past the queue, an exclusive one inside one's own exclusive of the same extent or a
 * larger one too. An exclusive one inside one's own shared is refused with EUPGRADE at once. Owner
 * 0 is nobody: each such lease is a stranger to all others.
 */
enum berth_mode { BERTH_SHARED, BERTH_EXCLUSIVE };

struct berth_acquire_options {
    uint32_t struct_size;
    int64_t wait_ms; /* until the grant, loading included; default no limit */
    const char *tag; /* shown in statistics; NULL = "" */
    enum berth_mode mode;
    uint32_t max_concurrent; /* shared: granted only while fewer leases than this are held on the
                                model; not asked of those inside their own lease; 0: no limit */
    uint64_t owner;          /* of berth_owner_new, or any other number; 0: nobody */
    int priority; /* 0 to 9, larger first; default 5. Above 5 at a daemon: its own user's */
};
#define BERTH_ACQUIRE_INIT                                                                         \
    { .struct_size = sizeof(struct berth_acquire_options), .wait_ms = -1, .priority = 5 }

/* A lease on a model by name, alias or path. A shared one loads the model if it is not loaded
 * (callers who come meanwhile wait for the same load); for an exclusive one `model` may be a family
 * ("whisper"). options may be NULL. May wait.
 * ENOTFOUND (the text lists what there is), EFORMAT, EBUDGET, ENOMEM, ETIMEDOUT (the text says who
 * holds what), EUPGRADE, EDEADLOCK (the text says who waits for what), EDISABLED, ESHUTDOWN,
 * EUNSUPPORTED (a daemon's priority that is not the caller's to ask for), EIO. */
int berth_acquire(struct berth *b, const char *model, const struct berth_acquire_options *options,
                  struct berth_lease **out, struct berth_error *err);

/* A place in the queue for a lease, for callers who have other things to look after while they
 * wait: signals, an event loop. */
struct berth_ticket;

/* Asks for a lease as berth_acquire does, without waiting; wait_ms is not looked at. On success
 * *out must be given back with berth_ticket_free. ENOTFOUND, EFORMAT, EINVAL, ENOMEM and, from a
 * daemon, ELOST, EOVERLOADED and EUNSUPPORTED (a path) at once, all else from berth_ticket_wait. A
 * path that is not known yet is looked into. */
int berth_acquire_start(struct berth *b, const char *model,
                        const struct berth_acquire_options *options, struct berth_ticket **out,
                        struct berth_error *err);

/* Takes the lease once it is granted. May be called again and again: the place in the queue is kept
 * meanwhile. ETIMEDOUT: not yet. ESTATE: taken already. Else why there is none, as berth_acquire.
 * May wait. */
int berth_ticket_wait(struct berth_ticket *ticket, int64_t timeout_ms, struct berth_lease **out,
                      struct berth_error *err);

/* Leaves the queue, or gives a lease back that was granted and not taken. NULL is allowed. Does not
 * wait. */
void berth_ticket_free(struct berth_ticket *ticket);

/* An owner that nobody has had in this manager. Owners of two clients of a daemon are never the
 * same. 0: `b` is not valid. */
uint64_t berth_owner_new(struct berth *b);

/* Waits until a shared lease would be granted for all that others do: they hold fewer than
 * max_concurrent leases on `what` (a model or a family) and neither hold nor wait for an exclusive
 * one; leases of `owner` do not count. Loads nothing. A hint: the next moment may be different, so
 * berth_acquire with max_concurrent is better where it will do. May wait.
 * EINVAL (max_concurrent is 0), ENOTFOUND, ETIMEDOUT, EDISABLED, ESHUTDOWN, ELOST. */
int berth_wait_available(struct berth *b, const char *what, uint64_t owner, uint32_t max_concurrent,
                         int64_t timeout_ms, struct berth_error *err);

/* Gives the lease back; its jobs are cancelled. NULL is allowed. Does not wait. */
void berth_release(struct berth_lease *lease);

/* The full name of the leased model (or family); valid while the lease is held. */
const char *berth_lease_model(const struct berth_lease *lease);

/* Whether berth_cleanup or berth_close took the lease away: it is good for release only, and its
 * next berth_submit says EREVOKED. Any thread; does not wait. */
bool berth_lease_revoked(const struct berth_lease *lease);

/* Whether a request is well formed for this model's family: options, kind of input, a readable
 * header. Loads nothing. EINVAL, EUNSUPPORTED, EAUDIO, ENOTFOUND, ETOOLARGE. */
int berth_check(struct berth *b, const char *model, const struct berth_request *request,
                struct berth_error *err);

/* Starts a request. Everything the request points to is copied. Does not wait.
 * On success *out is a job that must be given back with berth_job_free.
 * EINVAL, EUNSUPPORTED, EAUDIO, EOVERLOADED, ESHUTDOWN, ELOST, EREVOKED, ESTATE (the lease is
 * exclusive: acquire a shared one of the same owner), ENOMEM. */
int berth_submit(struct berth_lease *lease, const struct berth_request *request,
                 struct berth_job **out, struct berth_error *err);

enum berth_job_state berth_job_state(const struct berth_job *job);

/* The next item of a streaming request, the final one included; the caller frees it. May wait.
 * ETIMEDOUT: nothing yet. ESTATE: the final item has been taken. Else why the job failed. */
int berth_job_next(struct berth_job *job, int64_t timeout_ms, struct berth_item **out,
                   struct berth_error *err);

/* Waits for the end and takes the final item (partial ones not yet taken are dropped); the caller
 * frees it. ETIMEDOUT: still at work. ESTATE: taken already. Else why the job failed. */
int berth_job_wait(struct berth_job *job, int64_t timeout_ms, struct berth_item **out,
                   struct berth_error *err);

/* How far it is, in the family's units; 0 of 0 when not known yet. */
void berth_job_progress(const struct berth_job *job, double *done, double *total);

/* Has fn(arg) called whenever berth_job_next or berth_job_wait with time-out 0 would find more than
 * before: an item, or the end; at once if there is something already. For callers with an event
 * loop: fn runs on a thread of Berth's or inside this call, with a lock held, so it may only leave
 * a message (write to an eventfd, say): it must not wait or call Berth. It is never called after
 * berth_job_free has returned. NULL: no more calls. Does not wait. */
void berth_job_on_event(struct berth_job *job, void (*fn)(void *arg), void *arg);

/* Asks the job to stop; it ends with ECANCELLED within a turn. Does not wait. */
void berth_job_cancel(struct berth_job *job);

/* Gives the handle back, cancelling a job still at work. NULL is allowed. Does not wait. */
void berth_job_free(struct berth_job *job);

/* berth_submit, berth_job_wait, berth_job_free in one. May wait. */
int berth_run(struct berth_lease *lease, const struct berth_request *request,
              struct berth_item **out, struct berth_error *err);

/* Decodes a sound as the models hear it (16 kHz, mono, 16 bit) and hands it to `write` piece by
 * piece, on the calling thread; a non-zero answer of `write` stops with ECANCELLED. Needs no
 * manager. EAUDIO, ENOTFOUND, EIO, EINVAL, ETOOLARGE, ENOMEM. May wait for the file. */
int berth_decode(const struct berth_input *input,
                 int (*write)(void *arg, const int16_t *samples, size_t n), void *arg,
                 struct berth_error *err);

/* Unloads a model once its leases have ended; newcomers meanwhile wait for its next load.
 * ENOTFOUND, ETIMEDOUT (still draining: it goes on). May wait. */
int berth_unload(struct berth *b, const char *model, int64_t timeout_ms, struct berth_error *err);

/* Takes a model out of use: whoever asks for it or waits for it gets EDISABLED, it is unloaded when
 * its leases and requests have ended, and those who hold it may go deeper until then. berth_enable
 * lets it be used again. Both last until the other, or the end. Done again, they do nothing. Do not
 * wait. ENOTFOUND; of a daemon's models also ELOST, and EUNSUPPORTED for who is neither its user,
 * on its Unix socket, nor has an API key. */
int berth_disable(struct berth *b, const char *model, struct berth_error *err);
int berth_enable(struct berth *b, const char *model, struct berth_error *err);

struct berth_cleanup_report {
    uint32_t struct_size;
    uint64_t models_unloaded;
    uint64_t leases_waited_for;         /* of others, held when it began */
    uint64_t leases_revoked;            /* meanwhile, the owner's included */
    uint64_t bytes_before, bytes_after; /* charged to models on all devices */
    bool forced;                        /* leases of others had to be revoked */
};
#define BERTH_CLEANUP_INIT                                                                         \
    { .struct_size = sizeof(struct berth_cleanup_report) }

/* Unloads every model and leaves the manager usable: whoever comes from now on gets the next load.
 * Leases of `owner` (0: none) are revoked at once, others, exclusive ones too, have timeout_ms to
 * end and are then revoked: their requests end with ECANCELLED, the next submit says EREVOKED, and
 * memory is freed when the last request has ended, never under it. Ends at the latest 5 s after
 * the time-out (then bytes_after says what a stuck request still holds), and with 0 also when it
 * had to use force. `out` may be NULL. May wait. ENOMEM; of a daemon's models also ELOST, and
 * EUNSUPPORTED for who is neither its user, on its Unix socket, nor has an API key. */
int berth_cleanup(struct berth *b, uint64_t owner, int64_t timeout_ms,
                  struct berth_cleanup_report *out, struct berth_error *err);

/* Gives memory that nothing uses back to the system, whoever holds leases: the C library's free
 * pages; Berth's devices keep none. before, after (may be NULL): resident bytes of this process, 0
 * where the system does not say. */
int berth_trim(struct berth *b, uint64_t *out_before, uint64_t *out_after, struct berth_error *err);

struct berth_usage {
    uint32_t struct_size;
    char device[32]; /* the first: "cpu", "cuda:0" */
    struct {
        char family[16];
        uint64_t leases; /* granted and held, shared or exclusive, nested ones too */
        bool ready;      /* a model of it is loaded */
    } families[8];       /* [n_families] */
    uint32_t n_families;
};
#define BERTH_USAGE_INIT                                                                           \
    { .struct_size = sizeof(struct berth_usage) }

/* One consistent snapshot of who uses what, of a daemon: all its clients; never waits for work.
 * EINVAL, EFORKED, ELOST. */
int berth_usage(struct berth *b, struct berth_usage *out);

enum berth_model_state {
    BERTH_MODEL_ABSENT,
    BERTH_MODEL_LOADING,
    BERTH_MODEL_READY,
    BERTH_MODEL_DRAINING,
    BERTH_MODEL_DISABLED /* and not loaded any more */
};

struct berth_model_stats {
    char name[64];
    char alias[64];
    char family[16];
    char path[256];
    char device[32];
    enum berth_model_state state;
    uint64_t leases;  /* held now */
    uint64_t waiting; /* callers waiting for a grant now */
    uint64_t running; /* requests on it now */
    uint64_t served;  /* requests ended since the start */
    uint64_t failed;  /* of them with an error */
    uint64_t loads;
    uint64_t weights_bytes, workspace_bytes, session_bytes;
    int64_t load_ms;    /* the last load */
    int64_t idle_ms;    /* since the last use; -1: in use or never used */
    char engine[16];    /* what runs it */
    uint64_t instances; /* ready for requests, */
    char devices[256];  /* and where: "cuda:0,cuda:1" */
};

struct berth_device_stats {
    char name[32];
    char description[96];
    uint64_t budget_bytes;
    uint64_t reserved_bytes; /* promised, loading or not drawn yet */
    uint64_t committed_bytes;
    uint64_t freeing_bytes;
    uint64_t turns; /* run so far */
    uint64_t rows;  /* in all of them: rows / turns is the mean batch */
    int64_t longest_turn_us;
    uint64_t residual_bytes; /* not given back by what was unloaded, or lost; part of committed */
    uint64_t lost;           /* 1: it has failed, or a call on it hangs; nothing runs on it */
};

/* One consistent snapshot; never waits for work. Returns the number of entries there are; at most
 * `n` are written to `out`. `size` is sizeof(*out): later versions append fields to these structs,
 * so it says how long an entry is to the caller, who gets as much of each (and zeros for fields
 * that an older library does not know). */
size_t berth_models(struct berth *b, struct berth_model_stats *out, size_t size, size_t n);
size_t berth_devices(struct berth *b, struct berth_device_stats *out, size_t size, size_t n);

/* The CPU and every GPU there is; a machine without a usable driver has one entry "cuda" that says
 * why. GPUs are asked in a child process, so that a broken driver harms nobody. Needs no manager.
 * Returns the number of entries there are; at most `n` are written. May take seconds. */
size_t berth_device_list(struct berth_device_info *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
