/* The packed ring (virtio 1.2 2.8): to come; vring_start() refuses it. */
#include "tap/vring_int.h"
unsigned packed_dequeue(struct vring *q, struct pkt_pool *pool, struct pkt **out, unsigned max,
			unsigned *ret_no_buffer)
{
	return 0;
}
void packed_done(struct vring *q) {}
void packed_enqueue(struct vring *q, struct pkt_out *v, unsigned n) {}
bool packed_arm(struct vring *q)
{
	return false;
}
void packed_disarm(struct vring *q) {}
void packed_start(struct vring *q, uint32_t base) {}
uint32_t packed_stop(struct vring *q)
{
	return 0;
}
