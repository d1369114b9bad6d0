// The page Places.
import { start } from "./maps/page.js";

start("places");
